// A node program for the launcher's tests; what it does is in `with: {do: ...}`.
#pragma once

namespace weft::test {

/// Port out: "send" sends `count` records and finishes; "patient" sends `count` each time its peer is up, and
/// finishes after the second time; "stream" sends until drained. Port in: "take" counts; "die" kills itself
/// with the first record of its first start; "mute" never reports.
int run_node(int argc, char** argv);

}  // namespace weft::test
