// The HTTP API, as this page uses it. Paths are relative, so the page works below any prefix of a proxy.

import { problemFor } from "./words.js";

const KEY = "digitstream-key";

export const SEEN = "?seen=true"; // results then have the picture that the model saw

export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

export function authorization() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

// Idempotency keys. crypto.randomUUID is missing where the page is not served over TLS.
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Sends one file to `predict`, several or a zip archive to `predict_batch`. Never rejects: status 0 is a lost connection.
// XMLHttpRequest, since fetch does not report how much of a body has been sent.
export function post({ files, batch, key }, onProgress) {
  const form = new FormData();
  for (const file of files) form.append(batch ? "files" : "file", file, file.name);
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", batch ? "v1/predict_batch" : `v1/predict${SEEN}`);
    const headers = { ...authorization(), Accept: "application/json", "Idempotency-Key": key };
    if (batch) headers.Prefer = "wait=2"; // the results of a long batch are shown as they come, by polling
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onProgress(event.lengthComputable ? event.loaded / event.total : 0);
    request.upload.onload = () => onProgress(1);
    request.onloadend = () =>
      resolve(reply(request.status, request.responseText, request.status ? request.getResponseHeader("Retry-After") : null));
    request.send(form);
  });
}

// Asks for the results so far. Never rejects, as above.
export async function find(id) {
  try {
    const response = await fetch(`v1/requests/${encodeURIComponent(id)}${SEEN}`, {
      headers: { ...authorization(), Accept: "application/json" },
      cache: "no-store",
    });
    return reply(response.status, await response.text(), response.headers.get("Retry-After"));
  } catch {
    return reply(0, "", null);
  }
}

function reply(status, text, retryAfter) {
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // Not ours: the page of a proxy, or nothing at all.
  }
  const ok = status >= 200 && status < 300 && body !== null;
  return { status, ok, body, retryAfterMs: retryAfterMs(retryAfter), problem: ok ? null : { ...problemFor(status), status, ...body } };
}

function retryAfterMs(value) {
  if (!value) return null;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}
