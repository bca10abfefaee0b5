// A network of the walks' own with a house in it: what is here is a device at home, beside the
// house. tests/browser/run starts the walks where nothing leads out, and where this ends with them.
import { execFileSync } from "node:child_process";

const ip = (line) => execFileSync("ip", line.split(" "), { stdio: ["ignore", "ignore", "pipe"] });

export class Lane {
  house = "192.168.77.1";
  within = ["ip", "netns", "exec", "house"];

  static open() {
    for (const line of [
      "netns add house", "-n house link set lo up",
      "link add lane type veth peer name eth0 netns house",
      // An address that comes later breaks off what a browser is asking (ERR_NETWORK_CHANGED).
      "link set lane addrgenmode none", "addr add 192.168.77.20/24 dev lane", "link set lane up",
      "-n house addr add 192.168.77.1/24 dev eth0", "-n house link set eth0 up",
    ]) ip(line);
    return new Lane();
  }

  async close() {
    ip("netns del house");
  }
}
