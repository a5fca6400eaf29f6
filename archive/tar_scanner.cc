#include "archive/tar_scanner.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "archive/tar_header.h"
#include "io/base/units.h"

namespace penstock::archive {
namespace {

enum class Step : uint8_t {
    header,         // the next 512 bytes are a header or zeros
    sparse_blocks,  // the next 512 bytes go on with an old sparse map
    extension,      // content of a PAX or GNU header, collected
    content,        // a member's, passed over
    padding,        // up to the next block, passed over
    over,           // behind the end mark or the damage: only counted
};

bool is_regular(char type) {
    return type == '0' || type == '\0' || type == '7';
}
// Links, devices, directories and pipes have no content, whatever their size field says.
bool has_no_content(char type) {
    return type >= '1' && type <= '6';
}
bool is_pax(char type) {
    return type == 'x' || type == 'g' || type == 'X';
}

}  // namespace

// Between calls it holds one partial block, at most one extension's content, and the index so far.
struct TarScanner::State {
    explicit State(const TarLimits& given) : limits(given) {}

    size_t take(Bytes bytes);
    size_t take_block(Bytes bytes);
    size_t take_extension(Bytes bytes);
    size_t pass_over(Bytes bytes);
    void on_block(Bytes whole);
    void on_header(const TarHeader& header);
    void on_extension_header(const TarHeader& header);
    void on_entry(const TarHeader& header);
    void on_extension();
    void on_long_name();
    void on_pax();
    void on_content_end();
    void start_content(uint64_t bytes);
    void start_padding();
    void start_entry();
    void damage();

    TarLimits limits;
    ShardIndexBuilder builder;
    Step step = Step::header;
    uint64_t position = 0;     // of the next byte
    uint64_t entry_start = 0;  // of the entry being read, its extension headers included
    uint64_t left = 0;         // bytes of `extension`, `content` or `padding` still to come
    uint64_t padding_bytes = 0;
    std::optional<uint64_t> damaged_at;
    bool has_header = false;
    uint32_t zero_blocks = 0;  // in a row, before the next header

    std::array<std::byte, tar_block_bytes> block{};
    size_t block_bytes = 0;

    char extension_type = '\0';
    std::vector<std::byte> extension;
    bool has_extension = false;  // one is waiting for the entry it describes
    std::optional<std::string> long_name;
    PaxValues local, global;
    // The entry being read; the name keeps its memory from one to the next.
    std::string entry_name;
    uint64_t content_start = 0;
    uint64_t content_bytes = 0;
    bool is_member_pending = false;  // a member's content has not all passed by
};

void TarScanner::State::damage() {
    damaged_at = entry_start;
    is_member_pending = false;
    step = Step::over;
}

void TarScanner::State::start_entry() {
    step = Step::header;
    if (!has_extension) entry_start = position;
}

size_t TarScanner::State::take(Bytes bytes) {
    switch (step) {
        case Step::header:
        case Step::sparse_blocks:
            return take_block(bytes);
        case Step::extension:
            return take_extension(bytes);
        case Step::content:
        case Step::padding:
            return pass_over(bytes);
        case Step::over:
            break;
    }
    position += bytes.size();
    return bytes.size();
}

// A block that lies whole in what was fed is looked at in place.
size_t TarScanner::State::take_block(Bytes bytes) {
    if (block_bytes == 0 && bytes.size() >= tar_block_bytes) {
        position += tar_block_bytes;
        on_block(bytes.first(tar_block_bytes));
        return tar_block_bytes;
    }
    const size_t taken = std::min(bytes.size(), tar_block_bytes - block_bytes);
    std::memcpy(block.data() + block_bytes, bytes.data(), taken);
    block_bytes += taken;
    position += taken;
    if (block_bytes == tar_block_bytes) {
        block_bytes = 0;
        on_block(block);
    }
    return taken;
}

size_t TarScanner::State::take_extension(Bytes bytes) {
    const auto taken = static_cast<size_t>(std::min<uint64_t>(bytes.size(), left));
    extension.insert(extension.end(), bytes.begin(),
                     bytes.begin() + static_cast<std::ptrdiff_t>(taken));
    position += taken;
    left -= taken;
    if (left == 0) on_extension();
    return taken;
}

size_t TarScanner::State::pass_over(Bytes bytes) {
    const auto taken = static_cast<size_t>(std::min<uint64_t>(bytes.size(), left));
    position += taken;
    left -= taken;
    if (left > 0) return taken;
    if (step == Step::content) {
        on_content_end();
    } else {
        start_entry();
    }
    return taken;
}

void TarScanner::State::start_content(uint64_t bytes) {
    padding_bytes = round_up(bytes, tar_block_bytes) - bytes;
    left = bytes;
    step = Step::content;
    if (left == 0) on_content_end();
}

void TarScanner::State::start_padding() {
    left = padding_bytes;
    step = Step::padding;
    if (left == 0) start_entry();
}

void TarScanner::State::on_content_end() {
    if (is_member_pending) {
        if (!builder.add(entry_name, content_start, content_bytes)) return damage();
        is_member_pending = false;
    }
    start_padding();
}

void TarScanner::State::on_block(Bytes whole) {
    if (step == Step::sparse_blocks) {
        if (!has_next_sparse_block(whole)) start_content(content_bytes);
        return;
    }
    if (is_zero_block(whole)) {
        if (has_extension) return damage();  // it describes nothing
        ++zero_blocks;
        entry_start = position;
        return;
    }
    const std::optional<TarHeader> header = parse_tar_header(whole);
    if (header) {
        has_header = true;
        zero_blocks = 0;
        return on_header(*header);
    }
    // Behind the end mark, blocks may be padded with anything; elsewhere it is damage.
    if (zero_blocks == 0) return damage();
    step = Step::over;
}

void TarScanner::State::on_header(const TarHeader& header) {
    if (is_pax(header.type) || header.type == 'L' || header.type == 'K') {
        on_extension_header(header);
    } else {
        on_entry(header);
    }
}

void TarScanner::State::on_extension_header(const TarHeader& header) {
    if (header.size > limits.extension_bytes_max) return damage();
    // A global header stands for itself; the others belong to the entry behind them.
    if (header.type != 'g') has_extension = true;
    extension_type = header.type;
    extension.clear();
    padding_bytes = round_up(header.size, tar_block_bytes) - header.size;
    left = header.size;
    step = Step::extension;
    if (left == 0) on_extension();
}

void TarScanner::State::on_extension() {
    if (extension_type == 'L') {
        on_long_name();
    } else if (extension_type != 'K') {
        on_pax();
    }
    // A large one is not kept for the many small ones that follow.
    if (extension.capacity() > 64_KiB) extension = {};
    if (step != Step::over) start_padding();
}

void TarScanner::State::on_long_name() {
    const std::string_view text = as_text(extension);
    const std::string_view name = text.substr(0, text.find('\0'));
    if (name.size() > limits.name_bytes_max) return damage();
    long_name.emplace(name);
}

void TarScanner::State::on_pax() {
    std::optional<PaxValues> values = parse_pax_values(extension);
    if (!values || (values->path && values->path->size() > limits.name_bytes_max)) return damage();
    PaxValues& known = extension_type == 'g' ? global : local;
    if (values->path) known.path = std::move(values->path);
    if (values->size || values->takes_size_back) {
        known.size = values->size;
        known.takes_size_back = values->takes_size_back;
    }
    known.is_sparse |= values->is_sparse;
}

void TarScanner::State::on_entry(const TarHeader& header) {
    std::string& name = entry_name;
    if (local.path && !local.path->empty()) {
        name = std::move(*local.path);
    } else if (long_name) {
        name = std::move(*long_name);
    } else if (!local.path && global.path && !global.path->empty()) {
        name = *global.path;
    } else {
        header.path_into(name);
    }
    uint64_t size = header.size;
    if (local.size) {
        size = *local.size;
    } else if (!local.takes_size_back && global.size) {
        size = *global.size;
    }
    const bool is_sparse = local.is_sparse || global.is_sparse;
    if (has_extension) local = {};
    long_name.reset();
    has_extension = false;

    if (has_no_content(header.type)) return start_content(0);
    if (name.size() > limits.name_bytes_max) return damage();
    content_start = position;
    content_bytes = size;
    if (header.type == 'S') {
        step = Step::sparse_blocks;
        if (!header.has_sparse_blocks) start_content(size);
        return;
    }
    // A directory of the oldest dialect is a file whose name ends in a slash. A name that is empty
    // or has a NUL cannot be asked for.
    const bool is_member = is_regular(header.type) && !is_sparse && !name.ends_with('/') &&
                           !name.contains('\0') && !plain_member_name(name).empty();
    if (is_member && builder.member_count() >= limits.members_max) return damage();
    is_member_pending = is_member;
    start_content(size);
}

TarScanner::TarScanner(const TarLimits& limits) : state_(std::make_unique<State>(limits)) {}
TarScanner::~TarScanner() = default;
TarScanner::TarScanner(TarScanner&&) noexcept = default;

void TarScanner::feed(Bytes bytes) {
    while (!bytes.empty()) bytes = bytes.subspan(state_->take(bytes));
}

std::vector<std::byte> TarScanner::finish() {
    State& state = *state_;
    // Zeros alone are an empty archive; anything else without a header is no archive.
    if (!state.has_header && (state.zero_blocks < 2 || state.damaged_at)) return {};
    // An end mark that was cut off loses nothing.
    const Bytes partial = Bytes(state.block).first(state.block_bytes);
    const bool is_inside_block =
        state.zero_blocks == 0 && std::ranges::count(partial, std::byte{0}) != std::ssize(partial);
    const bool is_inside_entry = state.step == Step::content || state.step == Step::extension ||
                                 state.step == Step::sparse_blocks || state.has_extension;
    if (state.step != Step::over && (is_inside_block || is_inside_entry)) state.damage();
    return state.builder.encode(Format::tar, state.position, state.damaged_at);
}

uint32_t TarScanner::member_count() const {
    return state_->builder.member_count();
}

bool TarScanner::is_damaged() const {
    return state_->damaged_at.has_value();
}

}  // namespace penstock::archive
