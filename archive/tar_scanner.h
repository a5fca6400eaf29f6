// TarScanner: finds the members of a TAR while its bytes pass by, and builds the shard's index.
//
// It never holds a member's content, and reads every dialect that users bring: ustar, GNU long
// names and base-256 sizes, PAX paths and sizes (global headers too). Regular files become members;
// directories, links and devices are passed over. The bytes are foreign: whatever they say, the
// scanner stays within its bounds, and where they stop making sense it notes the place and indexes
// what came before.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "archive/shard_index.h"
#include "io/base/bytes.h"

namespace penstock::archive {

struct TarLimits {
    uint32_t members_max = 16'000'000;
    uint32_t name_bytes_max = 4096;          // of one member; longer: damage
    uint32_t extension_bytes_max = 1 << 20;  // of one PAX or GNU long-name entry
};

class TarScanner {
public:
    explicit TarScanner(const TarLimits& limits = {});
    ~TarScanner();
    TarScanner(TarScanner&&) noexcept;

    // The next bytes of the shard, in order.
    void feed(Bytes bytes);
    // Call once, after the last byte. The encoded index, or empty bytes if this is no TAR at all
    // (not one valid header). A shard that ends inside a member or without reaching its end mark is
    // damaged at the place where the last whole member ends, unless it ends exactly there.
    std::vector<std::byte> finish();

    uint32_t member_count() const;
    bool is_damaged() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace penstock::archive
