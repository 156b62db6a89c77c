#!/bin/sh
# Wraps a unit test for ./dev test --valgrind.
POCD_SLOW=1 exec valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --child-silent-after-fork=yes "$@"
