#!/usr/bin/env node
require("semver");
