#include "io/task.h"

#include <array>

namespace penstock::io::internal {
namespace {

// AddressSanitizer must see each frame die, so there the lists keep nothing.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool keeps_frames = false;
#else
constexpr bool keeps_frames = true;
#endif
#else
constexpr bool keeps_frames = true;
#endif

constexpr size_t class_bytes = 64;
constexpr size_t class_count = 64;   // frames up to 4 KiB; larger ones go to the allocator
constexpr uint32_t kept_max = 4096;  // for each size, so that a burst does not stay for ever

struct FreeFrame {
    FreeFrame* next;
};

struct FreeLists {
    std::array<FreeFrame*, class_count> first{};
    std::array<uint32_t, class_count> count{};

    ~FreeLists() {
        for (FreeFrame* frame : first) {
            while (frame != nullptr) std::free(std::exchange(frame, frame->next));
        }
    }
};

thread_local FreeLists lists;

}  // namespace

void* FramePool::allocate(size_t bytes) {
    const size_t index = (bytes - 1) / class_bytes;
    if (keeps_frames && index < class_count) {
        if (FreeFrame* frame = lists.first[index]; frame != nullptr) {
            lists.first[index] = frame->next;
            --lists.count[index];
            return frame;
        }
    }
    void* frame = std::malloc((index + 1) * class_bytes);
    if (frame == nullptr) std::abort();  // the data path's memory is taken at start
    return frame;
}

void FramePool::release(void* frame, size_t bytes) noexcept {
    const size_t index = (bytes - 1) / class_bytes;
    if (!keeps_frames || index >= class_count || lists.count[index] == kept_max) {
        std::free(frame);
        return;
    }
    auto* freed = static_cast<FreeFrame*>(frame);
    freed->next = lists.first[index];
    lists.first[index] = freed;
    ++lists.count[index];
}

}  // namespace penstock::io::internal
