/* near: whether somebody may have meant another word than was typed. */
#ifndef CLIENTS_CLI_NEAR_H
#define CLIENTS_CLI_NEAR_H

/* How far apart the two are: letters that are missing, too many or others, or two that changed places; - and _, and
 * capital and small letters, are alike.  A beginning of three letters or more counts as NEAR_MOST.  NEAR_MOST at most
 * (half of that for words of up to four letters), else NEAR_NOT: nobody means that. */
enum { NEAR_MOST = 2, NEAR_NOT = 1000 };
unsigned near_distance(const char *typed, const char *meant);

#endif
