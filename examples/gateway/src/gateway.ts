// The gateway itself: one port that serves /health over HTTP and echoes over WebSocket.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { WebSocket, WebSocketServer, type RawData } from "ws";

import { messageOf } from "./exit.ts";
import { answer } from "./messages.ts";
import { healthOf, type Services } from "./services.ts";
import { version } from "../package.json";

/** A client that sends more than this at once is cut off (close code 1009). */
const MAX_MESSAGE_BYTES = 1024 * 1024;

/** How long clients may take to answer the close frame before their sockets are closed for them. */
const CLOSE_GRACE_MS = 2000;

/** RFC 6455: the server goes away. */
const CLOSE_GOING_AWAY = 1001;

export interface Address {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

export interface Gateway {
  /** Where it listens, with the port the system chose. */
  readonly url: string;
  /** Takes no new connections, says goodbye to the clients and resolves when the last one is gone. */
  close(): Promise<void>;
}

/** Listens on `address`; rejects when the address cannot be had. */
export async function startGateway(address: Address, services: Services): Promise<Gateway> {
  const http = createServer((request, response) => void serveHttp(request, response, services));
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES });
  http.on("upgrade", (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (client) => sockets.emit("connection", client, request));
  });
  sockets.on("connection", (client) => serveClient(client, services));

  await new Promise<void>((resolve, reject) => {
    http.once("error", reject);
    http.listen(address.port, address.host, () => {
      http.off("error", reject);
      resolve();
    });
  });

  return {
    url: urlOf(http),
    close: () => closeAll(http, sockets),
  };
}

async function serveHttp(request: IncomingMessage, response: ServerResponse, services: Services): Promise<void> {
  const path = request.url?.split("?", 1)[0];
  if (path !== "/health") {
    sendJson(response, 404, { error: "not found" });
  } else if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    sendJson(response, 405, { error: "method not allowed" });
  } else {
    // The gateway is well without them: what they are is told, and changes nothing.
    const states = await healthOf(services);
    sendJson(response, 200, { status: "ok", version, ...(Object.keys(states).length > 0 && { services: states }) });
  }
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    "cache-control": "no-store",
  });
  response.end(text);
}

function serveClient(client: WebSocket, services: Services): void {
  // Answers leave in the order of the messages, however long a service takes.
  let last: Promise<void> = Promise.resolve();
  client.on("message", (data: RawData, isBinary: boolean) => {
    const text = isBinary ? undefined : answer(data.toString(), services);
    last = last.then(async () => {
      client.send(text === undefined ? data : await text, { binary: isBinary });
    });
    last = last.catch((error: unknown) => console.error(`client: ${messageOf(error)}`));
  });
  // A broken frame closes this connection (`ws` sees to that); it must not end the process for everyone else.
  client.on("error", (error) => console.error(`client: ${error.message}`));
}

async function closeAll(http: Server, sockets: WebSocketServer): Promise<void> {
  const closed = new Promise<void>((resolve) => http.close(() => resolve()));
  for (const client of sockets.clients) {
    client.close(CLOSE_GOING_AWAY, "the gateway is stopping");
  }
  const grace = setTimeout(() => {
    for (const client of sockets.clients) {
      client.terminate();
    }
    http.closeAllConnections();
  }, CLOSE_GRACE_MS);
  await closed;
  clearTimeout(grace);
}

function urlOf(http: Server): string {
  const address = http.address();
  if (address === null || typeof address === "string") {
    throw new Error("the server does not listen on a TCP port");
  }
  const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return `http://${host}:${address.port}`;
}
