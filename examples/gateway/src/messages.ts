// What the gateway says to a text message. Pure, apart from the addon and the services it asks.

import { xxh64 } from "@node-rs/xxhash";

import { messageOf } from "./exit.ts";
import { ask, type Services } from "./services.ts";

/**
 * The answer to `text`. A JSON object with a string `op` is a request and gets a JSON object back; everything else
 * is echoed as it came.
 *
 *     hello                           -> hello
 *     {"op":"hash","text":"hello"}    -> {"op":"hash","xxh64":"26c7827d889f6da3"}
 *     {"op":"words","text":"one two"} -> {"op":"words","words":2}, from the service in Rust
 *     {"op":"digest","text":"hello"}  -> {"op":"digest","digest":"f67ea07f8680e6a7"}, from the service in Python
 */
export async function answer(text: string, services: Services): Promise<string> {
  const request = parseRequest(text);
  if (request === undefined) {
    return text;
  }
  return JSON.stringify(await handle(request, services));
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

async function handle(request: Request, services: Services): Promise<object> {
  const { op } = request;
  const text = request["text"];
  if (op !== "hash" && op !== "words" && op !== "digest") {
    return { op, error: "unknown op; there are `hash`, `words` and `digest`" };
  }
  if (typeof text !== "string") {
    return { op, error: "`text` must be a string" };
  }
  switch (op) {
    case "hash":
      return { op, xxh64: xxh64(text).toString(16).padStart(16, "0") };
    case "words":
      return { op, ...(await fromService("words", services.words, `words ${text}`)) };
    case "digest":
      return { op, ...(await fromService("digest", services.digest, `digest ${text}`)) };
  }
}

async function fromService(name: string, place: string | undefined, request: string): Promise<object> {
  if (place === undefined) {
    return { error: `the gateway was started without \`--${name}\`` };
  }
  try {
    return await ask(place, request);
  } catch (error) {
    return { error: `the service \`${name}\`: ${messageOf(error)}` };
  }
}
