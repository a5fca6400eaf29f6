// Bytes that claim to be an index: opening either refuses them or gives an index whose members lie
// in the shard and whose lookups end. The checksum is mended, so that what it guards is reached.
#include <cstring>

#include "archive/shard_index.h"
#include "io/base/checksum.h"

namespace {

using namespace penstock;
using namespace penstock::archive;

void mend(std::vector<std::byte>& bytes) {
    if (bytes.size() < 44) return;
    std::memcpy(bytes.data(), "PSIX\1\0", 6);
    const Bytes all(bytes);
    store_le(bytes.data() + 36, crc32c(all.subspan(40), crc32c(all.first(36))));
}

void look_up(const ShardIndex& index) {
    for (uint32_t position = 0; position < index.member_count(); ++position) {
        const Member member = index.member(position);
        ASSERT(member.offset + member.size <= index.shard_bytes());
        (void)index.find(member.name);
        (void)index.member_by_name_order(position);
    }
    (void)index.find("absent");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto* begin = reinterpret_cast<const std::byte*>(data);
    std::vector<std::byte> bytes(begin, begin + size);
    (void)check_member_name(as_text(bytes));
    (void)format_from_magic(bytes);
    if (const auto index = ShardIndex::open(bytes)) look_up(*index);
    mend(bytes);
    if (const auto index = ShardIndex::open(bytes)) look_up(*index);
    return 0;
}
