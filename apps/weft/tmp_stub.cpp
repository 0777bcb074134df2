#include "verbs.hpp"
namespace weft::cli {
int run_verb(const Send&) { return 1; }
int run_verb(const Recv&) { return 1; }
int run_verb(const Tap&) { return 1; }
}
