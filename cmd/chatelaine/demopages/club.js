// The club's answer goes by itself.
"use strict";
document.getElementById("answer").submit();
