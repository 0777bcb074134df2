// The test program is also the node that its topologies run: with --spec it is one, else it runs the tests.
#define DOCTEST_CONFIG_IMPLEMENT
#include <string_view>

#include <doctest/doctest.h>

#include "launch/test_node.hpp"

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "--spec") return weft::test::run_node(argc, argv);
  return doctest::Context(argc, argv).run();
}
