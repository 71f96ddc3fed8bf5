// A second mask beside that of the model: chosen or dropped, compared by the service, told in the panel.

import { Comparison } from "./comparison.js";
import { excessOf, explain } from "./upload.js";

const byId = (id) => document.getElementById(id);

export class Second {
  /**
   * `onChange(second)` is called with what the service tells of one, or null where there is none; `mostMib()` is
   * the size that an upload may have; `onGo` and `numberOf` are as in `Comparison`.
   */
  constructor(scan, { onChange, onGo, numberOf, mostMib, signal }) {
    [this.scan, this.onChange, this.mostMib] = [scan, onChange, mostMib];
    this.comparison = new Comparison({ onGo, numberOf, signal });
    [this.offered, this.sending] = [null, new AbortController()];
    signal.addEventListener("abort", () => this.sending.abort());
    const on = (id, type, handle) => byId(id).addEventListener(type, handle, { signal });
    on("second-file", "change", (event) => {
      const [file] = event.target.files;
      event.target.value = ""; // so that the same file can be chosen again
      if (file) {
        this.send(file);
      }
    });
    on("second-as-mask", "click", () => this.send(this.offered));
    on("second-remove", "click", () => this.remove());
    this.say("");
    this.show(scan.second ?? null);
  }

  /** Ask what to do with a file that was dropped elsewhere: to take it for a scan would lose the one shown. */
  offer(file) {
    this.say("");
    this.offered = file;
    byId("second-offer").hidden = false;
    byId("second-offered").textContent = file.name;
    byId("second-offer").scrollIntoView({ block: "nearest" });
    byId("second-as-mask").focus();
  }

  /** Lay a file over the scan; what is shown stays until the service has read it. */
  async send(file) {
    const excess = excessOf(file, this.mostMib());
    if (excess !== "") {
      this.complain(explain(413, excess, null, "mask").title, withStaying(excess));
      return;
    }
    this.sending.abort();
    this.sending = new AbortController();
    const { signal } = this.sending;
    this.say(`Comparing with ${file.name}\u2026`);
    const form = new FormData();
    form.append("mask", file);
    try {
      const answer = await fetch(this.scan.links.second, { method: "POST", body: form, signal });
      const told = await answer.json();
      if (signal.aborted) {
        return;
      }
      if (answer.ok) {
        this.say(`${told.name} is shown beside the mask of the model.`);
        this.show(told);
      } else {
        const { title, detail } = explain(answer.status, told.detail, answer.headers.get("Retry-After"), "mask");
        this.complain(title, answer.status === 404 ? detail : withStaying(detail));
      }
    } catch {
      if (!signal.aborted) {
        const { title, detail } = explain(0);
        this.complain(title, withStaying(detail));
      }
    }
  }

  remove() {
    this.sending.abort();
    fetch(this.scan.links.second, { method: "DELETE" }).catch(() => {});
    this.show(null);
    this.say("The second mask was taken away.");
    byId("second-file").focus();
  }

  say(text) {
    this.offered = null;
    byId("second-offer").hidden = true;
    byId("second-problem").hidden = true;
    byId("second-told").textContent = text;
  }

  complain(title, detail) {
    this.say("");
    byId("second-problem-title").textContent = title;
    byId("second-problem-detail").textContent = detail;
    byId("second-problem").hidden = false;
  }

  show(second) {
    byId("second-found").hidden = second === null;
    if (second !== null) {
      this.comparison.show(second);
    }
    this.onChange(second);
  }
}

/** A line on what went wrong, with what did not. */
function withStaying(detail) {
  return `${detail}${/[.?]$/.test(detail) ? "" : "."} What is shown stays as it is.`;
}
