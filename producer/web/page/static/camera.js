// The camera: the middle square of what it sees becomes one picture.

import { byId } from "./elements.js";

const LONGEST_SIDE = 1024;

export function takePhotos(onFile, onProblem) {
  const dialog = byId("camera-dialog");
  const video = byId("video");

  byId("camera").addEventListener("click", async () => {
    if (!navigator.mediaDevices) return byId("photo").click(); // without TLS a page gets no camera, but a phone's own app
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      return onProblem(cannotOpen(error));
    }
    byId("snap").disabled = true; // until there is a picture to take
    dialog.showModal();
    await video.play();
    byId("snap").disabled = false;
  });
  byId("snap").addEventListener("click", async () => {
    const file = await middleSquare(video);
    dialog.close();
    onFile(file);
  });
  byId("camera-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
  });
}

async function middleSquare(video) {
  const cut = Math.min(video.videoWidth, video.videoHeight);
  const side = Math.min(cut, LONGEST_SIDE);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  canvas.getContext("2d").drawImage(video, (video.videoWidth - cut) / 2, (video.videoHeight - cut) / 2, cut, cut, 0, 0, side, side);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  return new File([blob], "photo.jpg", { type: "image/jpeg" });
}

function cannotOpen(error) {
  if (error.name === "NotAllowedError") {
    return { title: "The camera is not allowed", detail: "Allow it for this page in the browser's settings, then try again." };
  }
  return { title: "There is no camera that can be used", detail: "Choose a file instead." };
}
