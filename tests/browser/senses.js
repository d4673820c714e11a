// Runs in the player's page: writes down what is shown and what is heard, each with its moment, in
// milliseconds of performance.now(). Arguments: an area of the picture (left, top, width, height, as shares),
// and how dark a pixel is that counts, 0 to 255.

const [area, dark, done] = arguments;
const video = document.querySelector("video");
const canvas = document.createElement("canvas");
const picture = canvas.getContext("2d", { willReadFrequently: true });
const senses = { pictures: [], sounds: [], clocks: [] };
window.senses = senses;

/** Loudest sample of each 128 that pass by, with the context's time of the first. */
const EAR = `registerProcessor("ear", class extends AudioWorkletProcessor {
  process([[samples]]) {
    let loudest = 0;
    for (const value of samples ?? []) loudest = Math.max(loudest, Math.abs(value));
    this.port.postMessage([currentTime * 1000, loudest]);
    return true;
  }
});`;

function see(now, { expectedDisplayTime }) {
  video.requestVideoFrameCallback(see);
  const { videoWidth, videoHeight } = video;
  const [x, y, width, height] = [area[0] * videoWidth, area[1] * videoHeight, area[2] * videoWidth, area[3] * videoHeight];
  [canvas.width, canvas.height] = [Math.ceil(width), Math.ceil(height)];
  picture.drawImage(video, x, y, width, height, 0, 0, canvas.width, canvas.height);
  const { data } = picture.getImageData(0, 0, canvas.width, canvas.height);
  let [sum, darker] = [0, 0];
  for (let at = 0; at < data.length; at += 4) {
    const luma = 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
    sum += luma;
    darker += luma < dark;
  }
  senses.pictures.push([expectedDisplayTime, sum / (data.length / 4), darker]);
}

async function listen() {
  const context = new AudioContext();
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([EAR], { type: "text/javascript" })));
  const ear = new AudioWorkletNode(context, "ear");
  ear.port.onmessage = ({ data }) => senses.sounds.push(data);
  context.createMediaElementSource(video).connect(ear).connect(context.destination);
  setInterval(() => senses.clocks.push([context.currentTime * 1000, performance.now()]), 50);
  return context.state;
}

video.muted = false;
video.requestVideoFrameCallback(see);
listen().then(done, (error) => done(String(error)));
