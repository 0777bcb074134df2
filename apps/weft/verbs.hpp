// One function a verb, each in a file of its own. They return the exit code, and throw weft::Error with a
// sentence for a person.
#pragma once

#include <weft/core/error.hpp>

#include "cli.hpp"

namespace weft::cli {

/// What an error that leaves a verb means for the shell.
int exit_code(Errc code);

int run_verb(const Check& check);
int run_verb(const Graph& graph);
int run_verb(const Up& up);
int run_verb(const Ps& ps);
int run_verb(const Logs& logs);
int run_verb(const Down& down);
int run_verb(const Run& run);
int run_verb(const Send& send);
int run_verb(const Recv& recv);
int run_verb(const Tap& tap);
int run_verb(const Chaos& chaos);
int run_verb(const QueueVerb& verb);
int run_verb(const JournalVerb& verb);
int run_verb(const Bench& bench);
int run_verb(const Sim& sim);

}  // namespace weft::cli
