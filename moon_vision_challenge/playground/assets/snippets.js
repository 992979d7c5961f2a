// The same request in curl, Python and JavaScript. A token is never shown: the code reads it from MOONVISION_TOKEN.

import { hasToken, service } from "./api.js";

/** The code of a try, by language. */
export function snippets(one) {
  const request = describe(one);
  return { curl: curl(request), python: python(request), javascript: javascript(request) };
}

function describe(one) {
  const isNow = one.mode === "v0";
  return {
    address: new URL(isNow ? `${service.classify}?top_k=5` : service.inferences, location.href).href,
    wait: isNow ? "" : "wait=20",
    model: one.model,
    name: one.name,
    withToken: hasToken(),
  };
}

const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const literal = (text) => JSON.stringify(text); // also a Python string

/** curl ends a file name at a comma or semicolon, unless it is in quotes. */
function curlFile(name) {
  return /[,;"\\]/.test(name) ? `"${name.replace(/["\\]/g, "\\$&")}"` : name;
}

function curl({ address, wait, model, name, withToken }) {
  const options = [];
  if (withToken) options.push(`-H "Authorization: Bearer $MOONVISION_TOKEN"`);
  if (wait) options.push(`-H ${shell(`Prefer: ${wait}`)}`);
  options.push(`-F ${shell(`model_type=${model}`)}`, `-F ${shell(`image=@${curlFile(name)}`)}`, shell(address));
  return `curl ${options.join(" \\\n  ")}`;
}

function python({ address, wait, model, name, withToken }) {
  const headers = [];
  if (withToken) headers.push(`"Authorization": f"Bearer {os.environ['MOONVISION_TOKEN']}"`);
  if (wait) headers.push(`"Prefer": ${literal(wait)}`);
  return `${withToken ? "import os\n\n" : ""}import requests

with open(${literal(name)}, "rb") as image:
    answer = requests.post(
        ${literal(address)},
        data={"model_type": ${literal(model)}},
        files={"image": image},
${headers.length ? `        headers={${headers.join(", ")}},\n` : ""}        timeout=60,
    )
print(answer.json())`;
}

function javascript({ address, wait, model, name, withToken }) {
  const headers = [];
  if (withToken) headers.push("Authorization: `Bearer ${process.env.MOONVISION_TOKEN}`");
  if (wait) headers.push(`Prefer: ${literal(wait)}`);
  const more = headers.length ? `\n  headers: { ${headers.join(", ")} },` : "";
  return `// Node.js 20 or later, saved as classify.mjs
import { openAsBlob } from "node:fs";

const form = new FormData();
form.set("model_type", ${literal(model)});
form.set("image", await openAsBlob(${literal(name)}), ${literal(name)});
const answer = await fetch(${literal(address)}, {
  method: "POST",
  body: form,${more}
});
console.log(await answer.json());`;
}
