// One upload: how far it is, how it ended, and what that means in plain words.

export const MIB = 2 ** 20;
const POLL_MS = 400;
const UNREADABLE = {
  scan: "This file cannot be read as a scan.",
  mask: "This file cannot be laid over the scan as a mask.",
};

function token() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Upload a file to be segmented and kept.
 *
 * `onProgress({phase, done, total, ahead})` is called as it goes; `onDone(scan)` or
 * `onProblem({title, detail, again})` at its end, neither after `abort()` of what is returned.
 */
export function upload(file, { onProgress, onDone, onProblem }) {
  const name = token();
  const request = new XMLHttpRequest();
  let poll = 0;
  const stop = () => clearInterval(poll);
  request.open("POST", `scans?progress=${name}`);
  request.responseType = "json";
  request.upload.addEventListener("progress", (event) => {
    onProgress({ phase: "receiving", done: event.loaded, total: event.total, ahead: 0 });
  });
  request.upload.addEventListener("load", () => {
    onProgress({ phase: "checking", done: 0, total: 0, ahead: 0 });
    poll = setInterval(() => ask(name, onProgress, () => request.readyState < 4), POLL_MS);
  });
  request.addEventListener("loadend", stop);
  request.addEventListener("load", () => {
    if (request.status === 201) {
      onDone(request.response);
    } else {
      onProblem(explain(request.status, request.response?.detail, request.getResponseHeader("Retry-After")));
    }
  });
  request.addEventListener("error", () => onProblem(explain(0)));
  const form = new FormData();
  form.append("scan", file);
  request.send(form);
  return request;
}

async function ask(name, onProgress, underWay) {
  try {
    const told = await (await fetch(`progress/${name}`)).json();
    if (underWay() && told.phase !== "none" && told.phase !== "receiving") {
      onProgress({ phase: told.phase, done: told.slices_done, total: told.slices_total, ahead: told.ahead });
    }
  } catch {
    // the upload itself will tell that the service is gone
  }
}

/** By how much a file is too large, in words; "" where it is not. */
export function excessOf(file, mostMib) {
  const size = Math.ceil(file.size / MIB);
  return size > mostMib ? `${file.name} has ${size} MiB, the service takes at most ${mostMib} MiB.` : "";
}

/** What a status means to the person who waits; `what` was sent, a scan or a mask. */
export function explain(status, detail = "", retryAfter = null, what = "scan") {
  const again = retryAfter === null ? "Try again in a while." : `Try again in about ${retryAfter} s.`;
  switch (status) {
    case 0:
      return { title: "The connection to the service was lost.", detail: "Is it still running?", again: true };
    case 413:
      return { title: `This ${what} is too large for the service.`, detail, again: false };
    case 422:
      return { title: UNREADABLE[what], detail, again: false };
    case 503:
      return retryAfter === null
        ? { title: "The service is shutting down.", detail, again: true }
        : { title: "The service is busy: its queue is full.", detail: again, again: true };
    case 404:
      return { title: "This result is no longer kept.", detail: "Upload the scan again to see it.", again: false };
    default:
      return { title: `The service could not process this ${what}.`, detail, again: status === 408 };
  }
}
