/** A thread of the pool in a browser. */
import "../machine/worker.ts";
import { announce } from "./browser.ts";

announce();
