const isOdd = require("is-odd");
module.exports = (n) => [isOdd(n), require("@me/util").shout("lib"), require("ms/package.json").version].join(" ");
