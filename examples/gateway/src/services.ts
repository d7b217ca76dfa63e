// Asking the services that run beside the gateway: one line there, one JSON object back.

import { connect, type NetConnectOpts } from "node:net";

/** A service is given up on after this long. */
const TIMEOUT_MS = 2000;

/** More than this is no answer of theirs. */
const MAX_ANSWER_CHARACTERS = 64 * 1024;

/** Where the services listen: a socket's path, or `host:port`. One without a place does not run. */
export interface Services {
  /** Counts words; in Rust. */
  readonly words?: string | undefined;
  /** Digests texts; in Python. */
  readonly digest?: string | undefined;
}

/** Sends `request` to the service at `place`; rejects when it cannot be reached, or does not answer in time or in JSON. */
export function ask(place: string, request: string): Promise<object> {
  return new Promise((resolve, reject) => {
    const socket = connect(optionsOf(place));
    let answer = "";
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    socket.setEncoding("utf8");
    socket.setTimeout(TIMEOUT_MS, () => fail(new Error("it does not answer")));
    socket.on("error", fail);
    socket.on("end", () => fail(new Error("it ended without an answer")));
    socket.on("connect", () => socket.write(`${request.replace(/[\r\n]+/g, " ")}\n`));
    socket.on("data", (text: string) => {
      answer += text;
      const end = answer.indexOf("\n");
      if (end >= 0) {
        socket.destroy();
        try {
          resolve(objectOf(answer.slice(0, end)));
        } catch (error) {
          reject(error);
        }
      } else if (answer.length > MAX_ANSWER_CHARACTERS) {
        fail(new Error("its answer is too long"));
      }
    });
  });
}

/** What each service that has a place says of itself, `ok` when it is well; `unreachable` when it says nothing. */
export async function healthOf(services: Services): Promise<Record<string, string>> {
  const places = Object.entries(services).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const states = places.map(async ([name, place]): Promise<[string, string]> => {
    try {
      const answer = await ask(place, "health");
      return [name, "status" in answer && typeof answer.status === "string" ? answer.status : "unknown"];
    } catch {
      return [name, "unreachable"];
    }
  });
  return Object.fromEntries(await Promise.all(states));
}

function optionsOf(place: string): NetConnectOpts {
  const colon = place.lastIndexOf(":");
  const isAddress = colon > 0 && !/[/\\]/.test(place);
  return isAddress ? { host: place.slice(0, colon), port: Number(place.slice(colon + 1)) } : { path: place };
}

function objectOf(text: string): object {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null) {
    throw new Error("its answer is no object");
  }
  return value;
}
