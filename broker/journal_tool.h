#ifndef BROKER_JOURNAL_TOOL_H
#define BROKER_JOURNAL_TOOL_H
/* `broker journal verify|dump|compact|backup`: what an operator does to a journal that no broker,
 * or in the case of verify and dump another process, has open.  argv[0] is "journal". */

int journal_tool(int argc, char **argv); /* the exit code */

#endif
