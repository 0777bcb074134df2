#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <unistd.h>

#include <weft/core/error.hpp>
#include <weft/ps/idx.hpp>
#include <weft/ps/libsvm.hpp>

#include "ps/data_files.hpp"

using namespace weft;
using namespace weft::ps;

namespace {

using Floats = std::vector<float>;
using Indexes = std::vector<std::uint64_t>;

std::string little_endian(std::uint32_t number, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>(number >> (8 * i) & 0xFFU));
  return text;
}

/// A gzip file (RFC 1952) of one stored block (RFC 1951, 3.2.4); at most 65,535 bytes.
std::string gzip(const std::string& bytes) {
  std::uint32_t crc = ~0U;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1U ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
  }
  const auto size = static_cast<std::uint32_t>(bytes.size());
  const std::string header("\x1f\x8b\x08\0\0\0\0\0\0\xff\x01", 11);
  return header + little_endian(size, 2) + little_endian(~size, 2) + bytes + little_endian(~crc, 4) +
         little_endian(size, 4);
}

/// A folder of this process that goes away with the test.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("weft-ps-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string write(const std::string& name, const std::string& bytes) const {
    const std::string path = (path_ / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  std::string write_gzip(const std::string& name, const std::string& bytes) const {
    return write(name, gzip(bytes));
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string u32(std::uint32_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(number >> shift & 0xFFU));
  return bytes;
}

std::string idx_images(std::uint32_t count, const std::string& pixels) {
  return std::string("\0\0\x08\x03", 4) + u32(count) + u32(1) + u32(2) + pixels;
}

std::string idx_labels(const std::string& labels) {
  return std::string("\0\0\x08\x01", 4) + u32(static_cast<std::uint32_t>(labels.size())) + labels;
}

void refuse_text(const std::string& text, const std::string& sentence, Labels labels = Labels::any) {
  CAPTURE(text);
  CHECK_THROWS_WITH_AS(parse_libsvm(text, "f.svm", labels), doctest::Contains(sentence.c_str()), Error);
}

}  // namespace

TEST_CASE("LIBSVM text gives labels, indexes and values as they stand") {
  const Dataset data =
      parse_libsvm("+1 3:1 11:0.5 # a comment\n\n-1 \t 0:-2e1\r\n0\n1 18446744073709551614:1", "f");

  CHECK(data.labels == Floats{1, -1, 0, 1});
  CHECK(data.indexes == Indexes{3, 11, 0, UINT64_MAX - 1});
  CHECK(data.values == Floats{1, 0.5F, -20, 1});
  CHECK(data.offsets == Indexes{0, 2, 3, 3, 4});
  CHECK(data.max_index == UINT64_MAX - 1);
  CHECK(data.file_rows == 4);
}

TEST_CASE("labels of two classes become 0 and 1, whichever way they are written") {
  CHECK(parse_libsvm("-1 1:1\n+1 1:1\n", "f", Labels::binary).labels == Floats{0, 1});
  CHECK(parse_libsvm("0 1:1\n1 1:1\n", "f", Labels::binary).labels == Floats{0, 1});
  CHECK(parse_libsvm("7 1:1\n", "f", Labels::classes).labels == Floats{7});
}

TEST_CASE("rows are shared so that every row belongs to exactly one worker") {
  const std::string text = "0 0:1\n1 1:1\n2 2:1\n3 3:1\n4 4:1\n";
  CHECK(parse_libsvm(text, "f", Labels::any, {0, 2}).labels == Floats{0, 2, 4});
  const Dataset second = parse_libsvm(text, "f", Labels::any, {1, 2});
  CHECK(second.labels == Floats{1, 3});
  CHECK(second.indexes == Indexes{1, 3});
  CHECK(second.file_rows == 5);
  CHECK(second.max_index == 4);
}

TEST_CASE("bad LIBSVM text is refused with file, line and the offending text") {
  refuse_text("", "f.svm: is empty");
  refuse_text("\n# nothing\n", "f.svm: has no rows");
  refuse_text("1 3:1\nx 4:1\n", "f.svm:2: found \"x\", expected a label");
  refuse_text("1 3:1\n3:1 4:1\n",
              "f.svm:2: found \"3:1\", expected a label (a number) before the first feature");
  refuse_text("1 3:1 44\n", "f.svm:1: found \"44\", expected a feature as index:value");
  refuse_text("1 a:1\n", "found \"a:1\", expected a feature as index:value with a whole number from 0");
  refuse_text("1 -3:1\n", "found \"-3:1\"");
  refuse_text("1 3:x\n", "found \"3:x\"");
  refuse_text("1 3:nan\n", "found \"3:nan\"");
  refuse_text("1 3:1e99\n", "found \"3:1e99\"");
  refuse_text("1 3:1 7:", "f.svm:1: found \"7:\", expected a value after the colon (is the file cut?)");
  refuse_text("1 18446744073709551615:1", "kept for the bias");
  refuse_text("1 18446744073709551616:1", "found \"18446744073709551616:1\"");
  refuse_text("inf 3:1\n", "found \"inf\"");
  refuse_text("1 1:1\n2 1:1\n", "f.svm:2: found \"2\", expected a label of two classes", Labels::binary);
  refuse_text("1 1:1\n1.5 1:1\n", "f.svm:2: found \"1.5\", expected a class", Labels::classes);
  refuse_text("-1 1:1\n", "found \"-1\", expected a class", Labels::classes);
}

TEST_CASE("another format is named as such") {
  refuse_text("PK\x03\x04zip", "f.svm: is a zip archive, expected LIBSVM text");
  refuse_text(idx_labels("abc"), "f.svm: is IDX, expected LIBSVM text");
  refuse_text(std::string("1 3:\0001", 6), "f.svm: is a binary file");
  refuse_text("label,a,b\n1,2,3\n", "f.svm:1: found \"label,a,b\"");
}

TEST_CASE("LIBSVM is read plain and packed by gzip") {
  const Folder folder;
  const std::string text = "1 3:1\n0 4:1\n";
  CHECK(read_libsvm(folder.write("plain", text)).labels == Floats{1, 0});
  CHECK(read_libsvm(folder.write_gzip("packed.gz", text)).labels == Floats{1, 0});
}

TEST_CASE("files that are missing, folders, or cut are refused by name") {
  const Folder folder;
  CHECK_THROWS_WITH_AS(read_libsvm("/nonexistent/a9a"), doctest::Contains("/nonexistent/a9a: no such file"),
                       Error);
  CHECK_THROWS_WITH_AS(read_libsvm(folder.path()), doctest::Contains("is a folder, expected a file"), Error);
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "1 " + std::to_string(i * 7919 % 1000) + ":1\n";
  const std::string whole = read_all(folder.write_gzip("whole.gz", text));
  const std::string cut = folder.write("cut.gz", whole.substr(0, whole.size() / 2));
  CHECK_THROWS_WITH_AS(read_libsvm(cut), doctest::Contains("cut.gz: the gzip file is cut short"), Error);
  std::string broken = whole;
  broken[broken.size() / 2] = static_cast<char>(broken[broken.size() / 2] ^ 0x55);
  CHECK_THROWS_WITH_AS(read_libsvm(folder.write("broken.gz", broken)),
                       doctest::Contains("gzip file is damaged"), Error);
  CHECK_THROWS_WITH_AS(read_libsvm(folder.write("empty", "")), doctest::Contains("is empty"), Error);
}

TEST_CASE(
    "of a gzip file all members are read, padding is ignored, and anything else behind them is refused") {
  const Folder folder;
  const std::string first = read_all(folder.write_gzip("a", "1 3:1\n"));
  const std::string second = read_all(folder.write_gzip("b", "0 4:1\n"));
  CHECK(read_libsvm(folder.write("two.gz", first + second)).labels == Floats{1, 0});
  CHECK(read_libsvm(folder.write("padded.gz", first + second + std::string(1000, '\0'))).labels ==
        Floats{1, 0});
  std::string damaged = second;
  damaged[0] = 'x';
  const std::string zeros(3, '\0');
  for (const std::string& rest : {damaged, std::string("\x1f"), std::string("0 4:1\n"), zeros + second,
                                  std::string(300'000, '\0') + "x"}) {
    CAPTURE(rest.size());
    CHECK_THROWS_WITH_AS(read_libsvm(folder.write("behind.gz", first + rest)),
                         doctest::Contains("behind.gz: its gzip data ends at byte"), Error);
  }
  CHECK_THROWS_WITH_AS(read_libsvm(folder.write("cut2.gz", first + second.substr(0, 5))),
                       doctest::Contains("cut short"), Error);
  // The same reader.
  const std::string images = read_all(folder.write_gzip("i", idx_images(1, "ab")));
  CHECK_THROWS_WITH_AS(read_idx(folder.write("images.gz", images + "x"), folder.write("l", idx_labels("a"))),
                       doctest::Contains("images.gz: its gzip data ends at byte"), Error);
}

TEST_CASE("what cannot be seen in a line is named: marks, odd spaces, and the query ids of other programs") {
  CHECK(parse_libsvm("\xef\xbb\xbf-1 1:1\n+1 1:1\n", "f", Labels::binary).labels == Floats{0, 1});
  refuse_text("1 1:1\n\xef\xbb\xbf-1 1:1\n", "f.svm:2: there is a byte order mark (U+FEFF)");
  refuse_text(
      "1\xc2\xa0"
      "3:1\n",
      "f.svm:1: there is a no-break space (U+00A0)");
  refuse_text(
      "1 3:1\xc2\xa0"
      "4:1\n",
      "f.svm:1: there is a no-break space (U+00A0)");
  refuse_text(
      "1 3:\xe2\x88\x92"
      "1\n",
      "a minus sign of typesetting (U+2212)");
  refuse_text("1 qid:7 3:1\n",
              "f.svm:1: found \"qid:7\", expected a feature as index:value: qid names the query");
  refuse_text(std::string("\xff\xfe"
                          "1\0 \0",
                          6),
              "f.svm: is UTF-16 text");
}

TEST_CASE("the largest label is told with its place, for a model that has fewer classes") {
  const Dataset text = parse_libsvm("1 1:1\n# none\n7 1:1\n7 1:1\n", "f.svm", Labels::classes, {1, 2});
  CHECK(text.max_label == 7);
  CHECK(text.max_label_place == "f.svm:3");
  const Folder folder;
  const std::string labels = folder.write("l", idx_labels(std::string("\1\4\4", 3)));
  const Dataset images = read_idx(folder.write("i", idx_images(3, "abcdef")), labels);
  CHECK(images.max_label == 4);
  CHECK(images.max_label_place == labels + ": label 2");
  CHECK(images.pixels == 2);
  CHECK(images.image_size == "1 x 2");
}

TEST_CASE("a folder whose files have a dot before idx is read as well") {
  const Folder folder;
  folder.write("train-images.idx3-ubyte", idx_images(1, "ab"));
  folder.write_gzip("train-labels.idx1-ubyte.gz", idx_labels("\1"));
  CHECK(is_idx_folder(folder.path()));
  CHECK(read_idx_folder(folder.path(), IdxPart::train).labels == Floats{1});
}

TEST_CASE("IDX images become rows of pixels between 0 and 1 without the zeros") {
  const Folder folder;
  const std::string images = folder.write("images", idx_images(3, std::string("\xff\0\0\x33\0\0", 6)));
  const std::string labels = folder.write_gzip("labels.gz", idx_labels(std::string("\7\0\2", 3)));

  const Dataset data = read_idx(images, labels);

  CHECK(data.labels == Floats{7, 0, 2});
  CHECK(data.offsets == Indexes{0, 1, 2, 2});
  CHECK(data.indexes == Indexes{0, 1});
  CHECK(data.values == Floats{1, 0.2F});
  CHECK(data.max_index == 1);
  CHECK(read_idx(images, labels, {1, 2}).labels == Floats{0});
}

TEST_CASE("bad IDX files are refused with what was found and expected") {
  const Folder folder;
  const std::string good = folder.write("good", idx_images(2, "abcd"));
  const std::string labels = folder.write("labels", idx_labels("ab"));
  const auto refuse = [&](const std::string& images, const std::string& sentence) {
    CAPTURE(sentence);
    CHECK_THROWS_WITH_AS(read_idx(folder.write("bad", images), labels), doctest::Contains(sentence.c_str()),
                         Error);
  };
  refuse("", "bad: is empty");
  refuse("hello world", "is no IDX file of unsigned bytes: it starts with \"hello wo\"");
  refuse(std::string("\0\0\x0d\x03", 4) + u32(1) + u32(1) + u32(1), "is no IDX file of unsigned bytes");
  refuse(std::string("\0\0\x08\x03\0\0", 6), "bad: is cut inside its header");
  refuse(idx_images(2, "abc"), "bad: is cut: its header promises more data than the 3 bytes that follow");
  refuse(idx_images(2, "abcde"), "bad: has 1 bytes after its end; expected 4");
  refuse(idx_images(0, ""), "bad: dimension 1 is 0");
  refuse(
      std::string("\0\0\x08\x04", 4) + u32(UINT32_MAX) + u32(UINT32_MAX) + u32(UINT32_MAX) + u32(UINT32_MAX),
      "is cut");
  refuse(idx_labels("ab"), "is an IDX file of labels, expected one of images");
  CHECK_THROWS_WITH_AS(read_idx(good, good),
                       doctest::Contains("is an IDX file of images, expected one of labels"), Error);
  CHECK_THROWS_WITH_AS(read_idx(good, folder.write("three", idx_labels("abc"))),
                       doctest::Contains("has 2 images, but"), Error);
  CHECK_THROWS_WITH_AS(read_idx_folder(folder.path(), IdxPart::test),
                       doctest::Contains("has no t10k-images-idx3-ubyte (plain or .gz)"), Error);
  CHECK_FALSE(is_idx_folder(folder.path()));
}

TEST_CASE("the MNIST folder holds 60,000 and 10,000 images of 784 pixels") {
  const auto images = test::data_file("t10k-images-idx3-ubyte.gz");
  if (!images) return;
  const std::string folder = images->substr(0, images->rfind('/'));

  const Dataset data = read_idx_folder(folder, IdxPart::test);

  CHECK(is_idx_folder(folder));
  CHECK(data.rows() == 10'000);
  CHECK(data.max_index == 783);
  CHECK(data.labels[0] == 7);
  CHECK(read_idx_folder(folder, IdxPart::train, {3, 1000}).rows() == 60);
}

TEST_CASE("a9a has the rows, features and labels that its origin states") {
  const auto file = test::data_file("a9a");
  if (!file) return;
  const Dataset data = read_libsvm(*file, Labels::binary);
  double positives = 0;
  for (const float label : data.labels) positives += static_cast<double>(label);
  CHECK(data.rows() == 32561);
  CHECK(data.max_index == 123);
  CHECK(positives / static_cast<double>(data.rows()) == doctest::Approx(0.2408).epsilon(0.001));
}
