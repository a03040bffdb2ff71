// Loaded into Azurite's process by local/azurite.py: ends it when the program that started it is gone, however
// that went (kill -9 included), for only then does its standard input end. A fresh folder goes with it.
import { rmSync } from "node:fs";

process.stdin.resume().on("end", () => process.kill(process.pid, "SIGTERM"));

const folder = process.env.REMOVE_AT_END;
if (folder) process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
