// HTTP clients of Node.js: `node clients.mjs URL PHOTO MODEL_TYPE [FOLDER]` prints one JSON line per request.
// FOLDER holds the node_modules of package-lock.json. Without it, only Node's own clients are tried.
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";

const [url, photo, modelType, folder] = process.argv.slice(2);
const large = new Uint8Array(40_000_000);
const json = { "content-type": "application/json" };
const dataUri = `data:image/jpeg;base64,${fs.readFileSync(photo).toString("base64")}`;

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

async function read(answer) {
  const parts = await answer.toArray();
  return [answer.statusCode, JSON.parse(Buffer.concat(parts).toString())];
}

function request(body) {
  return new Promise((resolve, reject) => {
    const headers = { ...json, "content-length": body.length };
    const sent = http.request(url, { method: "POST", headers }, (answer) => resolve(read(answer)));
    sent.on("error", reject);
    sent.end(body);
  });
}

const ownClients = {
  "fetch with a form": () => post({ body: form(fs.readFileSync(photo)) }),
  "fetch with too large a form": () => post({ body: form(large) }),
  "fetch with too large a body": () => post({ body: large, headers: json }),
  "fetch with too large a stream": () => post({ body: new Blob([large]).stream(), headers: json, duplex: "half" }),
  "http.request with too large a body": () => request(large),
};

function packages(require) {
  const axios = require("axios").create({ maxBodyLength: Infinity, validateStatus: () => true });
  const FormDataPackage = require("form-data");
  const undici = require("undici");

  function packageForm(image, options) {
    const body = new FormDataPackage();
    body.append("model_type", modelType);
    body.append("image", image, options);
    return body;
  }
  const send = async (config) => {
    const answer = await axios.request({ url, method: "POST", ...config });
    return [answer.status, answer.data];
  };
  const submit = (body) =>
    new Promise((resolve, reject) => {
      body.submit(url, (error, answer) => (error ? reject(error) : resolve(read(answer))));
    });
  const undiciForm = async (body) => {
    const answer = await undici.request(url, { method: "POST", body });
    return [answer.statusCode, await answer.body.json()];
  };
  const stream = () => fs.createReadStream(photo);
  const known = () => ({ filename: "фото.jpg", knownLength: fs.statSync(photo).size });
  return {
    "axios with Node's FormData": () => send({ data: form(fs.readFileSync(photo)) }),
    "axios with an object as a form": () =>
      send({ data: { model_type: modelType, image: stream() }, headers: { "content-type": "multipart/form-data" } }),
    "axios with JSON": () => send({ data: { model_type: modelType, image: dataUri } }),
    "axios with form-data and a stream, in chunks": () => send({ data: packageForm(stream()) }),
    "axios with form-data and a buffer": () => send({ data: packageForm(fs.readFileSync(photo), "photo.jpg") }),
    "axios with form-data and its headers": () => {
      const data = packageForm(fs.readFileSync(photo), { filename: "photo.jpg", contentType: "image/jpeg" });
      return send({ data, headers: data.getHeaders() });
    },
    "form-data's submit, with a length": () => submit(packageForm(stream(), known())),
    "undici.request with a form": () => undiciForm(form(fs.readFileSync(photo))),
    "undici.fetch with form-data": async () => {
      const data = packageForm(fs.readFileSync(photo), "photo.jpg");
      const headers = data.getHeaders();
      const answer = await undici.fetch(url, { method: "POST", headers, body: data.getBuffer() });
      return [answer.status, await answer.json()];
    },
    "axios with too large a form": () => send({ data: form(large) }),
    "axios with form-data that is too large": () => send({ data: packageForm(Buffer.from(large), "large.jpg") }),
    "undici.request with too large a form": () => undiciForm(form(large)),
  };
}

const clients = folder ? packages(createRequire(`${folder}/package.json`)) : ownClients;
for (const [name, attempt] of Object.entries(clients)) {
  console.log(JSON.stringify([name, ...(await attempt())]));
}
process.stdout.write("", () => process.exit()); // connections that are kept alive would delay the end
