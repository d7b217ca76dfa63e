// How a program of this package ends when something is wrong.

/** It could not do what it was asked. */
export const EXIT_FAILURE = 1;

/** It was asked in a way it does not understand. */
export const EXIT_USAGE = 2;

/** Says what is wrong on standard error; the process ends with `status` once nothing keeps it alive. */
export function fail(program: string, status: number, message: string): void {
  console.error(`${program}: ${message}`);
  if (status === EXIT_USAGE) {
    console.error(`Try \`${program} --help\`.`);
  }
  process.exitCode = status;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
