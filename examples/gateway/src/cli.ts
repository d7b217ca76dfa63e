// The program a user types. It loads the gateway only for `serve`, so that `--version` costs the runtime's start alone.

import { EXIT_USAGE, fail } from "./exit.ts";
import { version } from "../package.json";

const PROGRAM = "echo-gateway";

const HELP = `Usage: ${PROGRAM} <command> [options]

Commands:
  serve          run the gateway; \`${PROGRAM} serve --help\` lists its options

Options:
  -h, --help     print this help
  -V, --version  print the version`;

const [command, ...rest] = process.argv.slice(2);
switch (command) {
  case undefined:
    fail(PROGRAM, EXIT_USAGE, "a command is missing");
    break;
  case "-h":
  case "--help":
  case "help":
    console.log(HELP);
    break;
  case "-V":
  case "--version":
    console.log(version);
    break;
  case "serve": {
    const { serve } = await import("./server.ts");
    await serve(`${PROGRAM} serve`, rest);
    break;
  }
  default:
    fail(PROGRAM, EXIT_USAGE, `unknown ${command.startsWith("-") ? "option" : "command"} \`${command}\``);
}
