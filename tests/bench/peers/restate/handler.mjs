// The service behind Restate: does nothing with a delivery, and counts them.
//
// A line of its output says where it listens; the file named by its argument holds the count.

import { openSync, writeSync } from "node:fs";
import http2 from "node:http2";
import { createEndpointHandler, service } from "@restatedev/restate-sdk";

// Node has it from 22 on. The SDK expects it, and without it hangs on each invocation.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new this((...both) => ([resolve, reject] = both));
  return { promise, resolve, reject };
};

let handled = 0;
let written = 0;
let since = 0;
const file = openSync(process.argv[2], "w");

// Reading a file disturbs nobody. Not written for each delivery, which would be a cost of its own.
function write() {
  since = performance.now();
  if (written === handled) return;
  written = handled;
  writeSync(file, String(handled).padStart(16, "0"), 0);
}

const bench = service({
  name: "bench",
  handlers: {
    deliver: async () => {
      handled += 1;
      // Under load timers do not fire for seconds.
      if (performance.now() - since > 10) write();
    },
  },
});
setInterval(write, 10);

const server = http2.createServer(createEndpointHandler({ services: [bench] }));
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
