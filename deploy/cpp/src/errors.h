#pragma once

#include <stdexcept>
#include <string>

// What a user can cause and mend: one line that says what, where, what to do.
struct UserError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The text of another library's error as part of a line.
std::string one_line(const std::string& text);
