// The strip of the latest results, and how many there were today.

import { byId } from "./elements.js";
import { tile } from "./tile.js";
import { count } from "./words.js";

const KEPT = "digitstream-counts";
const MOST_SHOWN = 24;
const MOST_IDS = 1000; // enough to notice a result that comes again after a reload or a lost connection

const FLUSH_MS = 100; // results that come in a burst are shown together

let counts = load();
let fresh = []; // not shown yet, oldest first
let timer = null;

export function addLatest(result, onClick) {
  const today = new Date().toDateString();
  if (counts.day !== today) counts = { day: today, ids: new Set() };
  if (counts.ids.has(result.result_id)) return;
  counts.ids.add(result.result_id);
  if (counts.ids.size > MOST_IDS) counts.ids.delete(counts.ids.values().next().value);
  counts[result.status] = (counts[result.status] ?? 0) + 1;
  fresh = [...fresh, tile(result, onClick, { position: true })].slice(-MOST_SHOWN);
  timer ??= setTimeout(flush, FLUSH_MS);
}

function flush() {
  timer = null;
  sessionStorage.setItem(KEPT, JSON.stringify({ ...counts, ids: [...counts.ids] }));
  showCounts();
  byId("strip-note").textContent = "The newest is first. The last line is partition:offset of the request.";
  byId("strip").prepend(...fresh.reverse());
  fresh = [];
  while (byId("strip").childElementCount > MOST_SHOWN) byId("strip").lastElementChild.remove();
}

export function showCounts() {
  if (counts.day !== new Date().toDateString()) counts = { day: null, ids: new Set() };
  for (const status of ["recognised", "unsure", "failed"]) {
    byId("counts").querySelector(`.${status} dd`).textContent = (counts[status] ?? 0).toLocaleString("en");
  }
}

// A reader that was too slow gets the number of the results that were passed over.
export function showLost(number) {
  const note = byId("strip-lost");
  note.hidden = false;
  note.textContent = `${count(number, "result")} came too fast to be shown and counted here. All are in the topic.`;
}

function load() {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? '{"day": null, "ids": []}');
  return { ...kept, ids: new Set(kept.ids) };
}
