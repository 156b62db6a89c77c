/* notice: the commands about notices, one function each; their table is in notice_table.c. */
#ifndef CLIENTS_POC_NOTICE_H
#define CLIENTS_POC_NOTICE_H

#include "clients/cli/command.h"

extern const struct command poc_notice_commands[];
extern const struct flag poc_handover_flags[];

int poc_cmd_notice_send(struct cli *cli);
int poc_cmd_notice_reply(struct cli *cli);
int poc_cmd_notice_note(struct cli *cli);
int poc_cmd_notice_remind(struct cli *cli);
int poc_cmd_notice_forward(struct cli *cli);
int poc_cmd_notice_escalate(struct cli *cli);
int poc_cmd_notice_flush(struct cli *cli);

int poc_cmd_notice_list(struct cli *cli);
int poc_cmd_notice_show(struct cli *cli);
int poc_cmd_notice_save(struct cli *cli);
int poc_cmd_handover(struct cli *cli);
int poc_cmd_report(struct cli *cli);

int poc_cmd_notice_ack(struct cli *cli);
int poc_cmd_notice_accept(struct cli *cli);
int poc_cmd_notice_decline(struct cli *cli);
int poc_cmd_notice_close(struct cli *cli);
int poc_cmd_notice_take(struct cli *cli);
int poc_cmd_notice_release(struct cli *cli);

int poc_cmd_notice_status(struct cli *cli);
int poc_cmd_notice_timing(struct cli *cli);
int poc_cmd_notice_watch(struct cli *cli);

#endif
