// Runs the gateway until it is told to stop. Two ways lead here: the command line's `serve`, and this file as a
// program of its own, `echo-gateway-server`, for service managers.

import { parseArgs } from "node:util";

import { EXIT_FAILURE, EXIT_USAGE, fail, messageOf } from "./exit.ts";
import { startGateway, type Address } from "./gateway.ts";
import type { Services } from "./services.ts";

const DEFAULT_HOST = "127.0.0.1";
const DEFAULT_PORT = 8787;
const MAX_PORT = 65_535;

/** Starts the gateway with the options in `args`; SIGTERM and SIGINT close it and end the process with status 0. */
export async function serve(program: string, args: readonly string[]): Promise<void> {
  let options: Options;
  try {
    options = parseOptions(args);
  } catch (error) {
    return fail(program, EXIT_USAGE, messageOf(error));
  }
  if (options.help) {
    console.log(helpOf(program));
    return;
  }
  const { address, services } = options;
  let gateway;
  try {
    gateway = await startGateway(address, services);
  } catch (error) {
    return fail(program, EXIT_FAILURE, `cannot listen on ${address.host} port ${address.port}: ${messageOf(error)}`);
  }
  console.log(`listening on ${gateway.url}`);

  const stop = (): void => {
    // A second signal finds no handler and ends the process at once.
    process.off("SIGTERM", stop);
    process.off("SIGINT", stop);
    void gateway.close();
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}

interface Options {
  readonly help: boolean;
  readonly address: Address;
  readonly services: Services;
}

function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: "boolean", short: "h", default: false },
      host: { type: "string", default: DEFAULT_HOST },
      port: { type: "string", default: String(DEFAULT_PORT) },
      words: { type: "string" },
      digest: { type: "string" },
    },
  });
  return {
    help: values.help,
    address: { host: values.host, port: parsePort(values.port) },
    services: { words: values.words, digest: values.digest },
  };
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > MAX_PORT) {
    throw new Error(`\`--port\` takes a number from 0 to ${MAX_PORT}, not \`${text}\``);
  }
  return port;
}

function helpOf(program: string): string {
  return `Usage: ${program} [options]

Options:
  --host <address>  the address to listen on (default ${DEFAULT_HOST})
  --port <number>   the TCP port; 0 lets the system choose (default ${DEFAULT_PORT})
  --words <place>   where the service \`words\` listens: a socket's path, or host:port
  --digest <place>  where the service \`digest\` listens
  -h, --help        print this help`;
}

// Top-level code runs before what stands below it is set, so this is last.
if (import.meta.main) {
  await serve("echo-gateway-server", process.argv.slice(2));
}
