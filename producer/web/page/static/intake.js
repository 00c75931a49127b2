// Files: chosen, dropped or pasted. Each group of pictures becomes one request, each zip archive one of its own.

import { byId } from "./elements.js";

const ZIP = [0x50, 0x4b];

// Calls `onFiles(files, batch)` for each request.
export function takeFiles(onFiles, onProblem) {
  const give = async (list) => {
    const files = [...list];
    if (files.length === 0) return;
    const zips = await Promise.all(files.map(isZip));
    const pictures = files.filter((_, index) => !zips[index]);
    for (const zip of files.filter((_, index) => zips[index])) onFiles([zip], true);
    if (pictures.length > 0) onFiles(pictures, pictures.length > 1);
  };
  for (const id of ["files", "photo"]) {
    byId(id).addEventListener("change", async ({ target }) => {
      await give(target.files);
      target.value = ""; // so that the same file can be chosen again
    });
  }
  byId("choose").addEventListener("click", () => byId("files").click());
  byId("paste").addEventListener("click", async () => give(await pasted(onProblem)));
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length === 0) return;
    event.preventDefault();
    give(event.clipboardData.files);
  });
  takeDrops(give);
}

function takeDrops(give) {
  const cover = byId("drop");
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // else the browser opens the file in place of the page
    cover.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) cover.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    cover.hidden = true;
    give(event.dataTransfer.files);
  });
}

async function isZip(file) {
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  return start[0] === ZIP[0] && start[1] === ZIP[1];
}

async function pasted(onProblem) {
  const byKeys = "Press Ctrl+V (on a Mac ⌘V) on this page.";
  try {
    const files = [];
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((each) => each.startsWith("image/"));
      if (type) files.push(new File([await item.getType(type)], "pasted.png", { type }));
    }
    if (files.length === 0) onProblem({ title: "There is no picture to paste", detail: "Copy a picture first." });
    return files;
  } catch {
    onProblem({ title: "The browser does not let this button paste", detail: byKeys });
    return [];
  }
}
