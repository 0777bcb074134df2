#include "verbs.hpp"
namespace weft::cli {
int run_verb(const Up&) { return 1; }
int run_verb(const Ps&) { return 1; }
int run_verb(const Logs&) { return 1; }
int run_verb(const Down&) { return 1; }
int run_verb(const Run&) { return 1; }
int run_verb(const Send&) { return 1; }
int run_verb(const Recv&) { return 1; }
int run_verb(const Tap&) { return 1; }
}
