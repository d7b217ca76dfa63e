exports.shout = require("once")((text) => text.toUpperCase() + "!");
