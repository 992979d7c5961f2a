// Node's own clients: `node node_clients.mjs URL PHOTO MODEL_TYPE` prints one JSON line per request.
import fs from "node:fs";
import http from "node:http";

const [url, photo, modelType] = process.argv.slice(2);
const large = new Uint8Array(40_000_000);
const json = { "content-type": "application/json" };

function form(data) {
  const body = new FormData();
  body.set("model_type", modelType);
  body.set("image", new Blob([data]), "photo.jpg");
  return body;
}

async function post(options) {
  const answer = await fetch(url, { method: "POST", ...options });
  return [answer.status, await answer.json()];
}

function request(body) {
  return new Promise((resolve, reject) => {
    const headers = { ...json, "content-length": body.length };
    const sent = http.request(url, { method: "POST", headers }, async (answer) => {
      const parts = await answer.toArray();
      resolve([answer.statusCode, JSON.parse(Buffer.concat(parts).toString())]);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const attempts = {
  "fetch with a form": () => post({ body: form(fs.readFileSync(photo)) }),
  "fetch with too large a form": () => post({ body: form(large) }),
  "fetch with too large a body": () => post({ body: large, headers: json }),
  "fetch with too large a stream": () => post({ body: new Blob([large]).stream(), headers: json, duplex: "half" }),
  "http.request with too large a body": () => request(large),
};
for (const [name, attempt] of Object.entries(attempts)) {
  console.log(JSON.stringify([name, ...(await attempt())]));
}
