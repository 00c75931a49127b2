// The page: puts its parts together. Each part knows its own elements; only this module knows all of them.

import { useKey } from "./api.js";
import { showProblem, showRequest, showResult } from "./answer.js";
import { takePhotos } from "./camera.js";
import { byId } from "./elements.js";
import { takeFiles } from "./intake.js";
import { addLatest, showCounts, showLost } from "./latest.js";
import { follow } from "./live.js";
import { Pad } from "./pad.js";
import { offer, resend, restore, send } from "./requests.js";
import { chooseTheme } from "./theme.js";

const CONNECTION = { connecting: "connecting", live: "live", lost: "not connected", denied: "a key is needed" };
const MOST_PICTURES = 50;

let current = null;
let afterKey = [];
const pictures = new Map(); // request id → object URL of the picture that was sent; the oldest is given up first

function read(files, batch) {
  current = send(files, batch, changed);
  if (!batch) current.picture = URL.createObjectURL(files[0]);
  changed(current);
  const answer = byId("answer");
  if (answer.getBoundingClientRect().top > innerHeight / 2) answer.scrollIntoView(); // below the pad, on a phone
}

function changed(request) {
  if (request.state === "problem" && request.problem.status === 401) askForKey(() => again(request));
  if (request.state === "done") for (const result of request.results) latest(result);
  if (request.picture) keepPicture(request.id, request.picture);
  if (current !== null && request.key !== current.key) return;
  showRequest(request, { onRetry: mayRetry(request) ? () => again(request) : undefined });
}

// Sending a picture again that was refused as it is would not help.
function mayRetry({ state, problem, files }) {
  return state === "problem" && files.length > 0 && ![400, 413, 415, 422].includes(problem.status);
}

function again(request) {
  current = request;
  resend(request);
}

function latest(result) {
  if (result.result_id === undefined) return;
  addLatest(result, () => {
    current = { key: null }; // the panel now shows this; a request that is still open stays in the strip
    showResult(result, { picture: pictures.get(result.request_id) });
    byId("answer").focus();
  });
}

function keepPicture(id, picture) {
  pictures.set(id, picture);
  if (pictures.size <= MOST_PICTURES) return;
  const [oldest] = pictures.keys();
  URL.revokeObjectURL(pictures.get(oldest));
  pictures.delete(oldest);
}

function askForKey(then) {
  afterKey.push(then);
  if (!byId("key-dialog").open) byId("key-dialog").showModal();
}

function takeKeys() {
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(byId("key-input").value.trim());
    byId("key-form").reset();
    const waiting = afterKey;
    byId("key-dialog").close();
    for (const then of waiting) then();
  });
  byId("key-close").addEventListener("click", () => byId("key-dialog").close());
  byId("key-dialog").addEventListener("close", () => { afterKey = []; });
}

function startPad() {
  const readPad = async () => {
    if (pad.isEmpty) return showProblem({ title: "Nothing is written yet", detail: "Write a digit on the pad first." });
    read([await pad.picture()], false);
  };
  const pad = new Pad(byId("pad"), {
    onChange: ({ isEmpty }) => { byId("undo").disabled = byId("clear").disabled = isEmpty; },
    onEnter: readPad,
  });
  byId("read").addEventListener("click", readPad);
  byId("undo").addEventListener("click", () => pad.undo());
  byId("clear").addEventListener("click", () => pad.clear());
  return pad;
}

function startLive() {
  follow({
    onResult: (result) => { offer(result); latest(result); },
    onLost: ({ count }) => showLost(count),
    onState: (state) => {
      byId("connection").dataset.state = state;
      byId("connection-text").textContent = CONNECTION[state];
      if (state === "denied") askForKey(startLive);
    },
  });
}

const pad = startPad();
chooseTheme(() => pad.paint());
takeFiles(read, (problem) => showProblem(problem));
takePhotos((file) => read([file], false), (problem) => showProblem(problem));
takeKeys();
showCounts();
current = restore(changed).at(-1) ?? null;
if (current) changed(current);
startLive();
