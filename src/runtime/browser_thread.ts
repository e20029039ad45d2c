/** A thread of the pool in a browser. */
import "../machine/worker.ts";
import { announce } from "./announce.ts";

announce();
