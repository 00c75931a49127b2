// The live results: server-sent events. Read by fetch and not by EventSource, which cannot send a key.

import { SEEN, authorization } from "./api.js";
import { wait } from "./elements.js";

const FIRST_PAUSE_MS = 1000;
const LAST_PAUSE_MS = 30_000;

// Follows the results until the page is closed. `onState` is called with connecting, live, lost or denied.
export async function follow({ onResult, onLost, onState }) {
  let pauseMs = FIRST_PAUSE_MS;
  let lastId = null;
  for (;;) {
    onState("connecting");
    try {
      const headers = { ...authorization(), Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) };
      const response = await fetch(`v1/results${SEEN}`, { headers, cache: "no-store" });
      if (response.status === 401 || response.status === 403) return onState("denied");
      if (!response.ok) throw new Error(`status ${response.status}`);
      onState("live");
      for await (const event of events(response.body)) {
        pauseMs = FIRST_PAUSE_MS;
        lastId = event.id ?? lastId;
        if (event.name === "result") onResult(JSON.parse(event.data));
        if (event.name === "lost") onLost(JSON.parse(event.data));
      }
    } catch {
      // The connection is gone, or never was: the same as a stream that ended.
    }
    onState("lost");
    await wait(pauseMs);
    pauseMs = Math.min(pauseMs * 2, LAST_PAUSE_MS);
  }
}

// Cuts a body into events: https://html.spec.whatwg.org/multipage/server-sent-events.html
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { name: "message", data: [] };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line !== "") {
        addField(event, line);
        continue;
      }
      if (event.data.length > 0) yield { ...event, data: event.data.join("\n") };
      event = { name: "message", data: [] };
    }
  }
}

function addField(event, line) {
  const [, field, text] = /^([^:]*):? ?(.*)$/.exec(line);
  if (field === "data") event.data.push(text);
  if (field === "event") event.name = text;
  if (field === "id") event.id = text;
}
