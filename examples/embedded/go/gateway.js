// The gateway's own logic, run by the Goja inside the program. It is plain ECMAScript 5.1, so that any Goja will do.

/** Answers one HTTP request. `host` is what the program offers: its version. */
function handle(request, host) {
  if (request.path === "/health") {
    return json(200, { status: "ok", version: host.version, engine: "goja" });
  }
  if (request.path === "/echo" && request.method === "POST") {
    return { status: 200, type: "text/plain; charset=utf-8", body: request.body };
  }
  return json(404, { error: "not found" });
}

function json(status, value) {
  return { status: status, type: "application/json", body: JSON.stringify(value) };
}
