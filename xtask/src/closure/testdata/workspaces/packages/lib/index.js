const ms = require("ms");
module.exports = (text) => process.stdout.write(`${text} ${ms(1000)}\n`);
