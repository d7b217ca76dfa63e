#!/usr/bin/env node
require("@fixture/lib")("hello");
