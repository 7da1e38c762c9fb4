#pragma once
namespace acrn { inline void restore_terminal() {} }
