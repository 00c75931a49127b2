// The requests of this tab, from the file to its last result.
//
//   sending ──► done            answered at once
//      │  └───► waiting ──► done    202: polled, and fed by the live results, whichever is first
//      ├──────► busy ──► sending    refused for now, or the connection was lost: the same key again, so nothing counts twice
//      └──────► problem
//
// A request that is not done is kept in sessionStorage, so a reload of the page goes on waiting for it.

import { find, newKey, post } from "./api.js";
import { wait } from "./elements.js";
import { problemFor } from "./words.js";

const KEPT = "digitstream-waiting";
const MOST_TRIES = 6;
const FIRST_POLL_MS = 400;
const LAST_POLL_MS = 5000;
const UNKNOWN_AFTER_MS = 15_000; // so long may a record that was just sent stay unknown to the service

const open = new Map();

export function send(files, batch, onChange) {
  const key = newKey();
  const request = { key, id: key, files, batch, name: nameOf(files), started: Date.now(), results: [], onChange };
  open.set(key, request);
  run(request);
  return request;
}

export function resend(request) {
  open.set(request.key, request);
  run(request);
}

// Goes on with what was waiting before the page was loaded again. Returns these requests, oldest first.
export function restore(onChange) {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
  return kept.map((fields) => {
    const request = { ...fields, files: [], results: [], onChange };
    open.set(request.key, request);
    change(request, "waiting");
    poll(request);
    return request;
  });
}

// Takes a result that came over the live stream. Returns the request that it answers, if it is one of this tab.
export function offer(result) {
  for (const request of open.values()) {
    if (request.id !== result.request_id) continue;
    // While a picture is being sent, its own reply follows.
    if (request.state === "waiting") take(request, [result]);
    return request;
  }
  return null;
}

async function run(request) {
  for (let tries = 1; ; tries += 1) {
    change(request, "sending", { progress: 0 });
    const reply = await post(request, (progress) => change(request, "sending", { progress }));
    if (reply.ok) request.id = reply.body.request_id ?? request.id;
    if (reply.status === 202) {
      change(request, "waiting", { known: true });
      take(request, reply.body.results ?? []);
      return poll(request);
    }
    if (reply.ok) return finish(request, reply.body.results ?? [reply.body]);
    const forNow = reply.status === 0 || reply.status === 429 || reply.status === 502 || reply.status === 503;
    if (!forNow || tries === MOST_TRIES) return close(request, "problem", { problem: reply.problem, tookMs: Date.now() - request.started });
    const pauseMs = reply.retryAfterMs ?? Math.min(500 * 2 ** tries, 15_000);
    change(request, "busy", { problem: reply.problem, pauseMs });
    await wait(pauseMs);
  }
}

async function poll(request) {
  for (let pauseMs = FIRST_POLL_MS; request.state === "waiting"; pauseMs = Math.min(pauseMs * 1.5, LAST_POLL_MS)) {
    const reply = await find(request.id);
    if (request.state !== "waiting") return; // the live stream was faster
    if (reply.ok) {
      if (reply.body.complete) return finish(request, reply.body.results);
      change(request, "waiting", { known: true });
      take(request, reply.body.results);
    } else if (reply.status === 404 && Date.now() - request.started > UNKNOWN_AFTER_MS) {
      return close(request, "problem", { problem: { ...problemFor(404), status: 404 } }); // the page was left before all was sent
    } else if (reply.status === 401 || reply.status === 403) {
      return close(request, "problem", { problem: reply.problem });
    }
    await wait(Math.max(pauseMs, reply.retryAfterMs ?? 0));
  }
}

function take(request, results) {
  if (results.length === 0) return;
  const byIndex = new Map([...request.results, ...results].map((result) => [result.item?.index ?? 0, result]));
  const all = [...byIndex.values()].sort((one, other) => (one.item?.index ?? 0) - (other.item?.index ?? 0));
  // Files that are sent together may be several records, so only a request of one record is complete by its count.
  const complete = request.files.length <= 1 && all.length === all[0].item?.count && !(request.batch && request.files.length === 0);
  if (complete) finish(request, all);
  else change(request, request.state, { results: all });
}

function finish(request, results) {
  close(request, "done", { results, tookMs: Date.now() - request.started });
}

function close(request, state, fields) {
  open.delete(request.key);
  change(request, state, fields);
}

function change(request, state, fields = {}) {
  Object.assign(request, { state }, fields);
  const kept = [...open.values()].map(({ key, id, batch, name, started, known }) => ({ key, id, batch, name, started, known }));
  sessionStorage.setItem(KEPT, JSON.stringify(kept));
  request.onChange(request);
}

function nameOf(files) {
  return files.length === 1 ? files[0].name : `${files.length} pictures`;
}
