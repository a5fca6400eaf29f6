#include "node/store/mountpath_map.h"

#include <algorithm>

namespace penstock::node {
namespace {

// Not the locator's digest: that has a key of each mountpath's own.
constexpr uint64_t name_seed = 0x6d6f756e74706174;

}  // namespace

MountpathMap::MountpathMap(std::vector<Slot> slots) : slots_(std::move(slots)) {
    uint32_t count = 0;
    for (uint32_t index = 0; index < slots_.size(); ++index) {
        const Slot& slot = slots_[index];
        if (slot.is_now != slot.was) is_moving_ = true;
        if (!slot.is_now && !slot.was) continue;
        count += 1;
        if (slot.is_now) sole_ = index;
    }
    is_sole_ = count == 1 && slots_[sole_].is_now && slots_[sole_].out == nullptr;
    ASSERT(count > 0);
}

MountpathMap::Owners MountpathMap::owners_of(const ObjectName& name) const {
    const uint64_t digest = digest_of(name.bucket, name.object, name_seed).low;
    Owners owners;
    uint64_t now_score = 0;
    uint64_t before_score = 0;
    bool has_now = false;
    bool has_before = false;
    for (uint32_t index = 0; index < slots_.size(); ++index) {
        const Slot& slot = slots_[index];
        if (!slot.is_now && !slot.was) continue;
        const uint64_t score = hrw_score(slot.digest, digest);
        if (slot.is_now && (!has_now || score > now_score)) {
            owners.now = index;
            now_score = score;
            has_now = true;
        }
        if (slot.was && (!has_before || score > before_score)) {
            owners.before = index;
            before_score = score;
            has_before = true;
        }
    }
    ASSERT(has_now && has_before);
    return owners;
}

const std::shared_ptr<const std::string>& MountpathMap::any_out() const {
    static const std::shared_ptr<const std::string> none;
    for (const Slot& slot : slots_) {
        if ((slot.is_now || slot.was) && slot.out != nullptr) return slot.out;
    }
    return none;
}

uint64_t mountpath_digest(const Digest128& id) {
    return xxh64({reinterpret_cast<const std::byte*>(&id), sizeof id}, placement_seed);
}

}  // namespace penstock::node
