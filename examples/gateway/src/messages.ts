// What the gateway says to a text message. Pure, apart from the addon it asks.

import { xxh64 } from "@node-rs/xxhash";

/**
 * The answer to `text`. A JSON object with a string `op` is a request and gets a JSON object back; everything else
 * is echoed as it came.
 *
 *     hello                           -> hello
 *     {"op":"hash","text":"hello"}    -> {"op":"hash","xxh64":"26c7827d889f6da3"}
 */
export function answer(text: string): string {
  const request = parseRequest(text);
  if (request === undefined) {
    return text;
  }
  return JSON.stringify(handle(request));
}

interface Request {
  readonly op: string;
  readonly [field: string]: unknown;
}

function parseRequest(text: string): Request | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isRequest(value) ? value : undefined;
}

function isRequest(value: unknown): value is Request {
  return typeof value === "object" && value !== null && "op" in value && typeof value.op === "string";
}

function handle(request: Request): object {
  switch (request.op) {
    case "hash": {
      const text = request["text"];
      if (typeof text !== "string") {
        return { op: "hash", error: "`text` must be a string" };
      }
      return { op: "hash", xxh64: xxh64(text).toString(16).padStart(16, "0") };
    }
    default:
      return { op: request.op, error: "unknown op; there is `hash`" };
  }
}
