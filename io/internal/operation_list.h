// OperationList: a queue through the operations themselves, so that parking one never allocates.
#pragma once

#include "io/kernel.h"

namespace penstock::io::internal {

class OperationList {
public:
    bool is_empty() const { return first_ == nullptr; }
    Operation* first() const { return first_; }

    void push_back(Operation& operation) {
        operation.next = nullptr;
        operation.previous = last_;
        (last_ == nullptr ? first_ : last_->next) = &operation;
        last_ = &operation;
    }

    // `operation` must be in this list.
    void remove(Operation& operation) {
        (operation.previous == nullptr ? first_ : operation.previous->next) = operation.next;
        (operation.next == nullptr ? last_ : operation.next->previous) = operation.previous;
        operation.next = operation.previous = nullptr;
    }

    // Null when there is none.
    Operation* pop_front() {
        Operation* operation = first_;
        if (operation != nullptr) remove(*operation);
        return operation;
    }

private:
    Operation* first_ = nullptr;
    Operation* last_ = nullptr;
};

}  // namespace penstock::io::internal
