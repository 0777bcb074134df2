#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <weft/wire/buffer.hpp>

using namespace weft;
using namespace weft::wire;

TEST_CASE("a buffer keeps what was appended while it grows") {
  Buffer buffer;
  std::string expected;

  for (int i = 0; i < 5000; ++i) {
    const std::string piece(static_cast<std::size_t>(i % 7), static_cast<char>('a' + i % 26));
    buffer.append(as_bytes(piece));
    expected += piece;
  }

  CHECK(as_text(buffer.view()) == expected);
  CHECK(buffer.capacity() >= buffer.size());
  CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 16 == 0);
}

TEST_CASE("an empty buffer may be read, cut, cleared and given away") {
  Buffer buffer;
  CHECK(buffer.view().empty());
  CHECK(buffer.capacity() == 0);
  buffer.clear();
  buffer.truncate(10);
  CHECK(buffer.empty());

  const Buffer::Released released = buffer.release();

  CHECK(released.size == 0);
  Buffer::give_back(released.hint);
}

TEST_CASE("a buffer that was moved from is empty and its target has the bytes") {
  Buffer from;
  from.append(as_bytes("weft"));
  Buffer to;
  to.append(as_bytes("old"));

  to = std::move(from);

  CHECK(as_text(to.view()) == "weft");
  CHECK(from.empty());  // NOLINT(bugprone-use-after-move): the state after a move is part of the contract
  from.append(as_bytes("again"));
  CHECK(as_text(from.view()) == "again");
}

TEST_CASE("a pool hands a returned block to the next taker") {
  const auto pool = BufferPool::make();
  Buffer first = pool->take(1000);
  const std::byte* const block = first.data();
  CHECK(first.capacity() >= 1000);
  first.reset();

  const Buffer second = pool->take(900);

  CHECK(second.data() == block);
  CHECK(second.empty());
}

TEST_CASE("a pool prefers the block that fits and keeps large blocks for large needs") {
  const auto pool = BufferPool::make();
  Buffer small = pool->take(256);
  Buffer large = pool->take(64 * 1024);
  const std::byte* const small_block = small.data();
  const std::byte* const large_block = large.data();
  large.reset();
  small.reset();

  const Buffer header = pool->take(100);
  const Buffer other_header = pool->take(100);
  const Buffer body = pool->take(60 * 1024);

  CHECK(header.data() == small_block);
  CHECK(other_header.data() != large_block);
  CHECK(body.data() == large_block);
}

TEST_CASE("idle blocks stay within the pool's bound") {
  const auto pool = BufferPool::make(8192);
  std::vector<Buffer> taken;
  for (int i = 0; i < 4; ++i) taken.push_back(pool->take(4096));
  std::vector<const std::byte*> blocks;
  for (const Buffer& buffer : taken) blocks.push_back(buffer.data());

  taken.clear();
  CHECK(pool->idle_bytes() == 8192);

  const Buffer huge = pool->take(1 << 20);
  CHECK(huge.capacity() >= 1 << 20);
  CHECK(pool->idle_bytes() == 8192);
}

TEST_CASE("growing through a pool gives the outgrown blocks back") {
  const auto pool = BufferPool::make();
  Buffer buffer = pool->take(256);

  buffer.append(as_bytes(std::string(100 * 1024, 'x')));

  CHECK(buffer.size() == 100 * 1024);
  CHECK(pool->idle_bytes() == 256);
}

TEST_CASE("a block comes home from another thread, also after its pool's last user has gone") {
  auto pool = BufferPool::make();
  Buffer buffer = pool->take(512);
  buffer.append(as_bytes("in flight"));
  Buffer kept = pool->take(512);
  const Buffer::Released first = buffer.release();
  const Buffer::Released second = kept.release();

  std::thread io([&] { Buffer::give_back_fn(first.data, first.hint); });
  io.join();

  CHECK(pool->idle_bytes() == 512);
  CHECK(pool->take(512).data() == first.data);
  pool.reset();
  std::thread late(
      [&] { Buffer::give_back(second.hint); });  // frees block and pool: the sanitizer would tell
  late.join();
}

TEST_CASE("many threads may take and give back at once") {
  const auto pool = BufferPool::make(1 << 16);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      for (std::size_t i = 0; i < 2000; ++i) {
        Buffer buffer = pool->take(256 << (i % 5));
        *buffer.extend(1) = static_cast<std::byte>(t);
        Buffer::give_back(buffer.release().hint);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  CHECK(pool->idle_bytes() > 0);
  CHECK(pool->idle_bytes() <= 1 << 16);
}
