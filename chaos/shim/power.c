/* Pulls the plug of a file system: what was not flushed is gone, and nothing reaches the disk any
 * more. Usage: power MOUNTPOINT */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define SHUTDOWN _IOR('X', 125, uint32_t) /* ext4 and xfs */
#define NO_LOG_FLUSH 2

int main(int count, char **words) {
    uint32_t how = NO_LOG_FLUSH;
    int folder = count == 2 ? open(words[1], O_RDONLY) : -1;
    if (folder < 0 || ioctl(folder, SHUTDOWN, &how) != 0) {
        perror("power");
        return 1;
    }
    return 0;
}
