// What every page's script does. Without it, everything is there but these comforts.
import "./host.ts";
import "./copy.ts";
import "./languages.ts";
import "./examples.ts";
import "./rail.ts";
