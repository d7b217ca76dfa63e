console.log(require("@me/lib")(3), require("is-odd")(4), require("ms/package.json").version);
