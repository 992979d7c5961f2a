// Numbers, times and states as a person reads them.

const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

export const STATES = {
  waiting: "Waiting to be sent",
  sending: "Sending",
  pending: "In the queue",
  processing: "A worker is classifying it",
  canceled: "Canceled",
  failed: "No answer",
};

/** Scores are usually probabilities. Other scores are shown as they are, with bars relative to the highest. */
export function scores(predictions) {
  const values = predictions.map((each) => each.score);
  const areProbabilities = values.every((value) => value === null || (value >= 0 && value <= 1));
  const highest = Math.max(...values.map((value) => value ?? 0));
  return values.map((value) => {
    if (value === null) return { text: "", share: 0 };
    if (areProbabilities) return { text: percent.format(value), share: value };
    return { text: plain.format(value), share: highest > 0 ? Math.max(0, value / highest) : 0 };
  });
}

export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)}\u00a0ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)}\u00a0s`;
}

/** "JPG" of "photo.jpg": shown where the browser cannot show the picture. */
export function kindOf(name) {
  const found = /\.([a-z0-9]{1,5})$/i.exec(name);
  return found ? found[1].toUpperCase() : "?";
}
