// The walks through the demonstration home. tests/browser/run starts this.
import { join } from "node:path";
import { demo } from "./walks/all.mjs";
import { House } from "./lib/house.mjs";
import { repo } from "./lib/home.mjs";

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
const house = new House({ out: join(repo, "out/browser"), only: process.argv.slice(2) });
await demo(house);
process.exit(house.close());
